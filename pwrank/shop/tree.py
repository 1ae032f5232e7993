"""The category tree, and what an item of each leaf is called."""

from __future__ import annotations

_TREE = """
Home > Kitchen > Pans: frying pan, saucepan, wok, griddle pan
Home > Kitchen > Knives: chef's knife, paring knife, bread knife
Home > Kitchen > Tableware: dinner plate set, cereal bowl, serving platter
Home > Kitchen > Coffee & Tea: pour-over coffee maker, teapot, espresso cup set, travel mug
Home > Bedroom > Bedding: duvet cover, fitted sheet, quilt, throw blanket
Home > Bedroom > Pillows: down pillow, memory pillow, bolster cushion
Home > Bedroom > Bedside Lamps: bedside lamp, reading lamp, night light
Home > Bedroom > Storage: under-bed box, clothes rail, linen basket
Home > Living Room > Cushions: sofa cushion, floor cushion, seat pad
Home > Living Room > Rugs: area rug, hallway runner, doormat
Home > Living Room > Candles: scented candle, tealight holder, candlestick
Home > Living Room > Vases: bud vase, floor vase, bowl vase
Garden > Plants & Pots > Planters: planter, hanging basket, window box
Garden > Plants & Pots > Seeds: wildflower seed mix, herb seed collection, tomato seeds
Garden > Plants & Pots > Watering: watering can, drip irrigation kit, plant mister
Garden > Plants & Pots > Propagation: seed tray, mini greenhouse, cold frame
Garden > Tools > Hand Tools: hand trowel, weeding fork, bulb planter
Garden > Tools > Pruning: secateurs, loppers, hedge shears
Garden > Tools > Digging: digging spade, border fork, edging iron
Garden > Tools > Gloves: gardening gloves, pruning gauntlets, kneeling pad
Garden > Outdoor Living > Furniture: garden bench, bistro table, deck chair, hammock
Garden > Outdoor Living > Lighting: solar lantern, festoon lights, path light
Garden > Outdoor Living > Barbecue: charcoal grill, barbecue tongs, pizza oven, fire pit
Garden > Outdoor Living > Wildlife: bird feeder, nest box, bee hotel
Outdoors > Camping > Tents: two-person tent, family tent, tarp shelter
Outdoors > Camping > Sleeping: sleeping bag, sleeping mat, camp pillow
Outdoors > Camping > Cooking: camping stove, mess kit, camp kettle
Outdoors > Camping > Lights: head torch, camping lantern, pocket torch
Outdoors > Hiking > Backpacks: daypack, trekking backpack, hip pack
Outdoors > Hiking > Poles: trekking poles, walking stick, snow baskets
Outdoors > Hiking > Navigation: compass, map case, handheld GPS
Outdoors > Hiking > Bottles: water bottle, hydration bladder, vacuum flask
Outdoors > Water > Paddling: inflatable kayak, paddle board, canoe paddle
Outdoors > Water > Dry Bags: dry bag, waterproof pouch, deck bag
Outdoors > Water > Snorkelling: snorkel set, diving mask, swim fins
Outdoors > Water > Fishing: fly rod, tackle box, landing net
Sports > Fitness > Yoga: yoga mat, yoga block, meditation cushion
Sports > Fitness > Weights: adjustable dumbbell, kettlebell, weight plate
Sports > Fitness > Bands: resistance band set, pull-up strap, skipping rope
Sports > Fitness > Recovery: foam roller, massage ball, massage gun
Sports > Running > Running Shoes: road running shoe, trail running shoe, racing flat
Sports > Running > Running Wear: running jacket, running tights, singlet
Sports > Running > Running Belts: running belt, hydration vest, armband
Sports > Running > Reflective Gear: reflective vest, clip-on light, reflective ankle band
Sports > Cycling > Helmets: road helmet, commuter helmet, mountain bike helmet
Sports > Cycling > Bike Lights: front bike light, rear bike light, bike light set
Sports > Cycling > Bike Bags: pannier, saddle bag, handlebar bag
Sports > Cycling > Bike Care: bike pump, repair kit, chain cleaner
Electronics > Audio > Headphones: over-ear headphones, wireless earbuds, studio headphones
Electronics > Audio > Speakers: bluetooth speaker, bookshelf speaker, soundbar
Electronics > Audio > Turntables: turntable, phono preamp, record brush
Electronics > Audio > Radios: kitchen radio, DAB radio, wind-up radio
Electronics > Computing > Keyboards: mechanical keyboard, compact keyboard, number pad
Electronics > Computing > Mice: ergonomic mouse, trackball, mouse mat
Electronics > Computing > Stands: laptop stand, monitor arm, tablet holder
Electronics > Computing > Hubs & Cables: USB-C hub, charging cable, docking station
Electronics > Photo > Cameras: instant camera, action camera, compact camera
Electronics > Photo > Tripods: travel tripod, mini tripod, gimbal
Electronics > Photo > Camera Bags: camera sling, lens case, camera strap
Electronics > Photo > Frames: digital photo frame, photo printer, photo album
Clothing > Women > Dresses: wrap dress, shirt dress, maxi dress
Clothing > Women > Knitwear: cardigan, roll-neck jumper, knitted vest
Clothing > Women > Bags: tote bag, crossbody bag, clutch
Clothing > Women > Scarves: scarf, shawl, headband
Clothing > Men > Shirts: Oxford shirt, overshirt, polo shirt
Clothing > Men > Trousers: chinos, cords, drawstring trousers
Clothing > Men > Belts: belt, card holder, wallet
Clothing > Men > Jackets: bomber jacket, field jacket, rain jacket
Clothing > Shoes > Boots: ankle boots, Chelsea boots, work boots
Clothing > Shoes > Trainers: low-top trainers, high-top trainers, slip-ons
Clothing > Shoes > Sandals: strap sandals, clogs, espadrilles
Clothing > Shoes > Slippers: slippers, slipper boots, house shoes
Beauty > Skin > Cleansers: face wash, cleansing balm, toner
Beauty > Skin > Moisturisers: day cream, night cream, face oil, serum
Beauty > Skin > Sun Care: sun cream, after-sun lotion, lip balm
Beauty > Skin > Masks: clay mask, sheet mask set, exfoliating scrub
Beauty > Hair > Shampoo: shampoo, shampoo bar, conditioner
Beauty > Hair > Styling: sea salt spray, styling clay, hair oil
Beauty > Hair > Brushes: hairbrush, detangling comb, scalp massager
Beauty > Hair > Shaving: safety razor, shaving brush, beard oil
Beauty > Bath > Soap: hand soap, soap bar, body wash
Beauty > Bath > Bath Salts: bath salts, bubble bath, bath bomb set
Beauty > Bath > Towels: bath towel, hand towel, bathrobe
Beauty > Bath > Fragrance: eau de parfum, room spray, reed diffuser
Toys > Building > Blocks: building block set, marble run, train track set
Toys > Building > Models: model kit, robot kit, puzzle box
Toys > Building > Craft Kits: craft kit, bead set, clay modelling kit
Toys > Building > Science: science kit, microscope, crystal growing kit
Toys > Games > Board Games: strategy board game, co-operative board game, dice game
Toys > Games > Card Games: card game, trivia game, memory game
Toys > Games > Jigsaws: 1000-piece jigsaw, floor puzzle, 3D puzzle
Toys > Games > Chess & Classics: chess set, backgammon set, domino set
Toys > Early Years > Soft Toys: teddy bear, plush rabbit, hand puppet
Toys > Early Years > Ride-Ons: balance bike, scooter, rocking horse
Toys > Early Years > Musical Toys: xylophone, toy drum, ukulele
Toys > Early Years > Bath Toys: bath boat, stacking cups, squirting fish
Pets > Dogs > Leads: dog lead, dog harness, collar
Pets > Dogs > Dog Beds: dog bed, travel dog mat, crate pad
Pets > Dogs > Dog Toys: chew toy, fetch ball, tug rope
Pets > Dogs > Dog Treats: training treats, dental sticks, dog biscuits
Pets > Cats > Scratchers: scratching post, cat tree, scratch mat
Pets > Cats > Cat Toys: feather wand, catnip mouse, treat puzzle
Pets > Cats > Cat Beds: cat cave, window perch, radiator bed
Pets > Cats > Litter: litter tray, litter mat, clumping litter
Pets > Small Pets > Hutches: rabbit hutch, hamster cage, play pen
Pets > Small Pets > Aquariums: aquarium, aquarium filter, aquarium plant
Pets > Small Pets > Bedding & Hay: timothy hay, paper bedding, snuggle pouch
Pets > Small Pets > Feeders: hay rack, water dispenser, feeding bowl
Office > Stationery > Notebooks: notebook, planner, sketchbook
Office > Stationery > Pens: fountain pen, rollerball pen, mechanical pencil
Office > Stationery > Paper: letter set, greeting card set, washi tape
Office > Stationery > Art Supplies: watercolour set, brush pen set, acrylic paint set
Office > Desk > Desk Lamps: desk lamp, clamp lamp, monitor light
Office > Desk > Organisers: desk organiser, letter tray, pen pot
Office > Desk > Chairs: office chair, kneeling stool, footrest
Office > Desk > Boards: whiteboard, cork board, wall calendar
Office > Bags > Laptop Bags: laptop sleeve, briefcase, messenger bag
Office > Bags > Pencil Cases: pencil case, cable pouch, document wallet
Office > Bags > Commuter Backpacks: commuter backpack, roll-top backpack, convertible bag
Office > Bags > Lunch: lunch box, insulated lunch bag, cutlery set
"""

LEAVES: tuple[str, ...] = tuple(line.split(": ")[0] for line in _TREE.strip().splitlines())
"""Category paths, three levels deep. The next leaf of the same middle level is what people look
at after this one."""

NOUNS: tuple[tuple[str, ...], ...] = tuple(
    tuple(line.split(": ")[1].split(", ")) for line in _TREE.strip().splitlines()
)
"""What an item of each leaf is called."""
