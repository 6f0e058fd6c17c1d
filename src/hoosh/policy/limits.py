"""Rate limits by GCRA (ITU-T I.371, virtual scheduling): one number of state per limit."""

import msgspec


class Verdict(msgspec.Struct, frozen=True):
    """`full_at_s` is the new state; `wait_s` is 0 when the request may pass."""

    full_at_s: float
    wait_s: float = 0.0


def gcra(full_at_s: float, now_s: float, per_minute: int, burst: int) -> Verdict:
    """Admit one request. `full_at_s` is when the bucket would be empty again (0 at first).

    Over any time t at most `burst + t * per_minute / 60` requests pass.
    """
    step_s = 60.0 / per_minute
    next_s = max(full_at_s, now_s) + step_s
    wait_s = next_s - now_s - step_s * burst
    return Verdict(full_at_s, wait_s) if wait_s > 1e-9 else Verdict(next_s)
