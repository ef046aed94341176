"""The dashboard for programs: REST below ``/api/v1``, described by its own OpenAPI document."""
