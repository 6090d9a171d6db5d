"""Harbour dues."""

FREE_METRES = 6  # boats up to this length pay nothing


def dues(length_in_metres: float, nights: int) -> float:
    """Dues in euros: 2.40 for each metre above the free ones, each night."""
    return max(0.0, length_in_metres - FREE_METRES) * 2.40 * nights
