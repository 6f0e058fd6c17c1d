"""Vertex AI: https://cloud.google.com/vertex-ai/generative-ai/docs/start/api-keys (as of 2026-11).

The default address takes an API key. That of a project takes an access token:
https://REGION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/REGION/publishers/google
"""

from hoosh.dialects import gemini
from hoosh.providers import Provider
from hoosh.providers.auth import x_goog_api_key_or_bearer

PROVIDER = Provider(
    name="vertex",
    title="Google Vertex AI",
    dialect=gemini.VERTEX,
    base_url="https://aiplatform.googleapis.com/v1/publishers/google",
    docs="https://cloud.google.com/vertex-ai/generative-ai/docs/start/api-keys",
    sign=x_goog_api_key_or_bearer,
    env=("VERTEX_API_KEY",),
)
