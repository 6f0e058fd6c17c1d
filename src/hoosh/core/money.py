"""Dollars as people write them, and millionths of them, in which everything is reckoned."""


def micros_of_usd(usd: float) -> int:
    """Exact: a float stands for the shortest decimal that reads as it, which is what a person wrote.

    Raises: ValueError for what is no amount, below nothing, or finer than a micro-USD.
    """
    from decimal import Decimal  # noqa: PLC0415  # a configuration without prices need not load it

    amount = Decimal(str(usd)) * 1_000_000
    if not amount.is_finite():
        raise ValueError("not an amount of money")
    if amount < 0:
        raise ValueError("a price is not below 0")
    if amount != int(amount):
        raise ValueError("finer than a millionth of a dollar")
    return int(amount)
