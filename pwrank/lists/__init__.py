"""From user vectors to lists: candidates, rules, sources."""
