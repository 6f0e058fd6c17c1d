from hoosh.providers.anthropic import PROVIDER


def test_a_signed_request_lands_on_the_documented_address() -> None:
    assert (
        PROVIDER.base_url + PROVIDER.dialect.models_request().path == "https://api.anthropic.com/v1/models?limit=1000"
    )
    assert PROVIDER.sign("k") == ((b"x-api-key", b"k"),)
    assert PROVIDER.env == ("ANTHROPIC_API_KEY",)
