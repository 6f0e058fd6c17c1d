"""How the configuration has providers reached."""

from collections.abc import Mapping

from hoosh.config.schema import Config
from hoosh.transport.proxy import Proxies, proxies_from
from hoosh.transport.settings import TransportSettings


def transport_settings(config: Config, environ: Mapping[str, str]) -> TransportSettings:
    network = config.network
    return TransportSettings(
        proxies=proxies_from(environ) if network.trust_env_proxy else Proxies(),
        ca_file=str(network.ca_file or ""),
        max_reply_bytes=network.max_reply_bytes,
    )
