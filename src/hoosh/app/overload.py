"""What the configuration says of calls that are too many."""

from hoosh.config.schema import Config
from hoosh.engine.admission import AdmissionRules
from hoosh.policy.concurrency import LimitRules
from hoosh.policy.gate import QueueRules


def admission_rules(config: Config) -> AdmissionRules:
    overload = config.overload
    return AdmissionRules(
        limit=LimitRules(least=overload.min_concurrency, most=overload.max_concurrency, adapts=overload.adaptive),
        queue=QueueRules(part=overload.queue, max_wait_ns=int(overload.max_wait_s * 1e9)),
        caps={entry.name: entry.max_concurrency for entry in config.providers if entry.max_concurrency is not None},
    )
