"""What the process is like."""

import asyncio
import os
import time

from hoosh.telemetry.process import TICK_S, LoopLag, open_fds, resident_bytes


def test_memory_and_files_are_those_of_this_process() -> None:
    before, fds = resident_bytes(), open_fds()
    assert before is not None
    assert before > 1 << 20
    block = bytearray(os.urandom(64 << 20))
    after = resident_bytes()
    assert after is not None
    assert after - before > 32 << 20
    assert len(block) == 64 << 20
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
    assert fds is not None
    assert open_fds() == fds + 3
    for fd in opened:
        os.close(fd)


def test_a_loop_that_is_held_up_is_seen_to_be_late() -> None:
    async def main() -> None:
        called = asyncio.Event()
        lag = LoopLag(called.set, TICK_S)
        lag.start()
        time.sleep(3 * TICK_S)  # what no coroutine should do
        async with asyncio.timeout(60):
            await called.wait()
        assert lag.worst_s > TICK_S
        lag.stop()
        lag.stop()

    asyncio.run(main())
