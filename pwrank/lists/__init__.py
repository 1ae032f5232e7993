"""From user vectors to checked lists: candidates, rules, gates."""
