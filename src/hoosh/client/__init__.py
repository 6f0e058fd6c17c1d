"""A client of a running gateway, in two forms over one core: blocking (`sync`) and asyncio (`aio`).

The core is written once, as coroutines over a `Network` (network.py). Asyncio runs them; the blocking client drives
them by hand over a network whose coroutines block and so never suspend. The public names are those of `hoosh` itself.
"""
