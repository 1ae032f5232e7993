"""The words the shop's titles and descriptions are made of.

Every latent taste of a shopper is over something that can be read here or in `tree`: a category,
a style, a colour, a material, a use, a brand. Words that mean the same stand in one group, so a
taste for "navy" also likes "midnight blue", which only a model that reads can know.
"""

from __future__ import annotations

import re

_MIDDLES = """
Home > Kitchen | stoneware, cast iron, stainless steel, glass, oak
    slow Sunday breakfasts = lazy weekend brunches
    dinner parties = having friends round for supper
    small kitchens = cooks who are short of space
Home > Bedroom | linen, organic cotton, bamboo, wool, oak
    light sleepers = people who wake easily
    warm summer nights = sleeping through a heatwave
    guest rooms = visitors who stay over
Home > Living Room | wool, jute, glass, brass, velvet, ceramic
    cosy winter evenings = curling up when it is cold outside
    small flats = rooms where space is tight
    gifts = a housewarming present
Garden > Plants & Pots | terracotta, zinc, coir, recycled plastic
    balconies = city terraces without a lawn
    growing vegetables = a productive kitchen garden
    shady corners = places the sun never reaches
Garden > Tools | carbon steel, ash wood, stainless steel, leather
    heavy clay = stubborn, sticky soil
    raised beds = gardening without bending
    small hands = gardeners with a delicate grip
Garden > Outdoor Living | acacia wood, rattan, powder-coated steel, canvas
    summer parties = long evenings outside with friends
    attracting wildlife = a garden that bees and birds visit
    tiny patios = a square metre of sunshine
Outdoors > Camping | ripstop nylon, titanium, aluminium, cotton canvas
    ultralight trips = fast hikes where every gram counts
    family weekends = outings with the children
    winter camps = snow and sub-zero nights
Outdoors > Hiking | recycled polyester, carbon fibre, aluminium, cordura
    day walks = an easy stroll in the hills
    long-distance trails = weeks on the way
    alpine routes = scrambling high in the mountains
Outdoors > Water | neoprene, PVC, silicone, recycled polyester
    calm lakes = flat water at sunrise
    rocky coasts = wind, waves and salt
    beach holidays = a week by the sea
Sports > Fitness | natural rubber, cork, cast iron, organic cotton
    beginners = people just getting started
    home workouts = exercising in the living room
    athletes = serious strength training
Sports > Running | mesh, merino wool, recycled polyester, natural rubber
    marathon training = long-distance preparation
    muddy trails = running in the woods
    dark mornings = being seen before dawn
Sports > Cycling | aluminium, carbon fibre, waxed canvas, recycled polyester
    the daily commute = riding to work
    gravel adventures = rough tracks far from traffic
    road racing = going as fast as possible
Electronics > Audio | walnut, aluminium, leather, recycled plastic
    music lovers = people who really listen
    travel = flights and hotel rooms
    kitchens = cooking along to the news
Electronics > Computing | aluminium, bamboo, recycled plastic, felt
    home offices = working from home all day
    gaming nights = late-night play with friends
    frequent flyers = working on the move
Electronics > Photo | leather, carbon fibre, aluminium, recycled plastic
    street photography = candid shots in the city
    family memories = snaps of the children
    wildlife photography = patient hours waiting for birds
Clothing > Women | organic cotton, merino wool, silk, linen, leather
    the office = smart days at work
    weddings and parties = evenings when you dress up
    warm holidays = a beach week in the sun
Clothing > Men | organic cotton, corduroy, linen, leather, denim
    the office = smart days at work
    weekends = doing nothing in particular
    rainy days = wet and windy weather
Clothing > Shoes | leather, suede, cork, canvas, sheepskin
    city walks = miles of pavement
    cold mornings = frost on the doorstep
    lounging at home = evenings on the sofa
Beauty > Skin | shea butter, aloe vera, oat milk, rosehip oil, green clay
    sensitive skin = complexions that redden easily
    dry skin = winter skin that needs moisture
    oily skin = a face that shines by noon
Beauty > Hair | argan oil, sea salt, boar bristle, beech wood
    curls = waves that need definition
    fine hair = strands that lack volume
    plastic-free bathrooms = a zero-waste routine
Beauty > Bath | lavender oil, cedarwood, sea salt, organic cotton
    unwinding = an hour with the door locked
    gifts = spoiling someone on a birthday
    after sport = tired and aching muscles
Toys > Building | beech wood, cardboard, recycled plastic, felt
    curious minds = children who ask how things work
    rainy afternoons = days spent indoors
    patient builders = projects that take a week
Toys > Games | beech wood, cardboard, linen-finish card, slate
    the whole family = players from six to ninety
    two players = duels on a quiet evening
    parties = a loud table of eight
Toys > Early Years | beech wood, organic cotton, plush, natural rubber
    toddlers = small hands from one year
    newborn gifts = welcoming a baby
    the park = running about in fresh air
Pets > Dogs | leather, natural rubber, hemp, recycled polyester
    puppies = very young dogs
    older dogs = seniors with stiff joints
    long walks = adventures off the path
Pets > Cats | sisal, felt, cardboard, wicker
    kittens = very young cats
    indoor cats = flats without a garden
    lazy cats = animals that nap all day
Pets > Small Pets | fir wood, glass, paper pulp, ceramic
    rabbits = long-eared friends
    hamsters = little burrowers
    beginners = a child's first pet
Office > Stationery | recycled paper, brass, cotton paper, leather
    students = lecture halls and libraries
    creative work = drawing, sketching and lettering
    letter writers = friends who still send post
Office > Desk | walnut, cork, powder-coated steel, felt
    tidy desks = people who dislike clutter
    home offices = working from home all day
    sore backs = sitting without pain
Office > Bags | waxed canvas, leather, recycled polyester, felt
    business travel = meetings in other cities
    cyclists = carrying everything by bike
    students = lecture halls and libraries
"""

_BLOCKS = [block.split("\n    ") for block in re.split(r"\n(?=\S)", _MIDDLES.strip())]

MIDDLES: tuple[str, ...] = tuple(head.split(" | ")[0] for head, *_ in _BLOCKS)
"""The two upper levels of the paths."""

MATERIALS: tuple[tuple[str, ...], ...] = tuple(
    tuple(head.split(" | ")[1].split(", ")) for head, *_ in _BLOCKS
)
"""What the things of each middle level are made of."""

USES: tuple[tuple[tuple[str, ...], ...], ...] = tuple(
    tuple(tuple(use.split(" = ")) for use in uses) for _, *uses in _BLOCKS
)
"""What they are for: three uses per middle level, each said in two ways."""

STYLES: tuple[tuple[str, ...], ...] = (
    ("minimalist", "pared-back", "clean-lined"),
    ("rustic", "farmhouse-style", "rough-hewn"),
    ("vintage", "retro", "mid-century"),
    ("playful", "quirky", "cheerful"),
    ("elegant", "refined", "luxurious"),
    ("industrial", "rugged", "workshop-style"),
    ("boho", "hand-crafted", "folk-inspired"),
    ("high-tech", "futuristic", "engineered"),
)
COLOURS: tuple[tuple[str, ...], ...] = (
    ("navy", "midnight blue", "cobalt", "sky blue"),
    ("forest green", "olive", "sage", "moss"),
    ("terracotta red", "brick", "cherry red"),
    ("mustard", "ochre", "sunflower yellow"),
    ("charcoal", "graphite", "jet black"),
    ("cream", "ivory", "off-white"),
    ("blush pink", "dusty rose", "coral"),
    ("sand", "taupe", "chestnut brown"),
)
_BRANDS = """
    Alderby Bølgen Casa-Lumo Dunmarrow Eikhav Fernwick Grünthal Halvorsen&Moor Ilmari Juniperra
    Kestova Lindqvale Maréa Norrfjell Ostrava-Mills Pellworth Quillon Råvik Saltmarch Tamsel
    Undercroft Velmora Wrenfold Yarrowby Zephton Añora Brackley-Fox Cobbin Dovetale Embertide
"""
BRANDS: tuple[str, ...] = tuple(_BRANDS.split())
"""Invented makers."""
_MODELS = """
    Alba Arlo Aster Birch Bruno Calla Cleo Cove Dara Delta Echo Elm Faro Fern Gale Greta Haze
    Hugo Iris Isla Jade Juno Kit Kora Lark Leif Luna Maple Milo Nell Nova Odin Opal Orla Pico
    Pine Quill Remy Rhea Rook Sable Sol Tarn Thea Umber Una Vale Vega Wren Xara Yara Zuri
"""
MODELS: tuple[str, ...] = tuple(_MODELS.split())
"""Names a maker gives to things."""

TITLES = (
    "{brand} {Style} {Noun} in {colour}",
    "{brand} {model} {Noun}, {colour}",
    "{Style} {material} {noun} · {brand} {model}",
    "{brand} {Noun} for {use}",
    "{Colour} {material} {noun} by {brand}",
    "{brand} “{model}” {Noun} ({material}, {colour})",
    "{Noun} {model}: {style}, for {use}",
    "{brand} {Noun} {model}",
)
"""Without articles, since some nouns are plural."""
LOOKS = (
    "{Style} {noun} in {colour} {material}.",
    "{Noun} with {style} looks, in {material} and {colour}.",
    "{Style} design meets {material}, finished in {colour}.",
    "In {colour}, and {style} in character.",
    "Our {style} take on a classic: {noun}, with plenty of {material}.",
)
PURPOSES = (
    "Made for {use}.",
    "A good choice for {use}, and easy to live with.",
    "We had {use} in mind when we designed it.",
    "Customers tell us it is perfect for {use}.",
    "If you are thinking of {use}, start here.",
)
DETAILS = (
    "Comes with a two-year guarantee.",
    "Made in small batches by {brand}.",
    "The {material} is responsibly sourced.",
    "Arrives in plastic-free packaging, ready to give.",
    "Also available in other colours.",
    "Designed in-house and tested for a full year.",
    "One of our best-reviewed pieces from {brand}.",
    "Made with {material}, and made to last.",
)
