from tests.data.conftest import cache_of

__all__ = ["cache_of"]
