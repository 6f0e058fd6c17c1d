"""What settings change of `hoosh serve` itself, for engine/test_configuration_has_effect.py."""

# (key, what the file says, what is looked at, what is seen without and with it)
SERVED = (
    ("server.bind", "[server]\nbind = 'localhost'\n", "bind", "127.0.0.1", "localhost"),
    ("server.port", "[server]\nport = 9\n", "port", 8088, 9),
    ("server.header_timeout_s", "[server]\nheader_timeout_s = 7\n", "head_timeout_s", 10, 7),
    ("server.body_timeout_s", "[server]\nbody_timeout_s = 7\n", "body_timeout_s", 60, 7),
    ("server.header_limit_bytes", "[server]\nheader_limit_bytes = 2048\n", "head_limit_bytes", 32768, 2048),
    ("server.drain_s", "[server]\ndrain_s = 7\n", "drain_s", 30, 7),
    ("server.workers", "[server]\nworkers = 7\n", "workers", 1, 7),
    ("server.watch_config", "[server]\nwatch_config = true\n", "watches", False, True),
    ("logging.level", "[logging]\nlevel = 'error'\n", "level", "INFO", "ERROR"),
    ("logging.format", "[logging]\nformat = 'text'\n", "entry", "{", "WARNING hoosh: here"),
    ("logging.format", "[logging]\nformat = 'text'\n", "line", "as_json", "as_text"),
)

# Runs `hoosh serve` for each file named, with its two ends (the listening socket, the server) put out of the way.
SERVE = """
import asyncio, json, logging, os, sys
from pathlib import Path
import hoosh.telemetry.log as log
from hoosh import cli
from hoosh.app import serving, workers

class Socket:
    def getsockname(self): return ("", 1)
    def close(self): pass

told = {}
def listen(bind, port):
    told.update(bind=bind, port=port)
    return Socket()
async def serve(app, listening, settings, stopping):
    root = logging.getLogger()
    entry = root.handlers[0].format(logging.LogRecord("hoosh", logging.WARNING, "", 1, "here", None, None))
    told.update(level=logging.getLevelName(root.level), entry=entry if entry[0] != "{" else "{", drain_s=settings.drain_s)
    told.update({name: getattr(settings.door, name) for name in settings.door.__struct_fields__})
class Journal(log.LineJournal):
    def __init__(self, stream, line, *, is_shared=False):
        told["line"] = line.__name__
        super().__init__(stream, line, is_shared=is_shared)
async def serve_workers(plan, say):
    told["workers"] = plan.config.server.workers
    return 0
def watching(path, reload):
    told["watches"] = True
    return lambda: None
serving.watching = watching
serving.listen, serving.serve, serving.LineJournal, workers.serve_workers = listen, serve, Journal, serve_workers
lines = []
for name in sys.argv[1:]:
    told = {"workers": 1, "watches": False}
    cli.serve(config=Path(name))
    lines.append(told)
print("\\n" + json.dumps(lines))
"""
