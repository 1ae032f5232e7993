"""The generated shop that `pwrank demo` runs on: 120 days of a small, lively, untidy shop."""

from pwrank.shop.files import ShopSummary, write_shop

__all__ = ["ShopSummary", "write_shop"]
