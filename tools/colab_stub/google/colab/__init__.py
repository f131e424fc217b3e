"""Stand in for Colab's own module: whatever is called in it does nothing, and `calls` keeps the name."""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

calls: list[str] = []


class Quiet(ModuleType):
    """A module that has every function: a call is recorded, and returns None."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):  # what Python itself asks of a module
            raise AttributeError(name)
        return lambda *args, **kwargs: calls.append(f"{self.__name__.removeprefix(__name__ + '.')}.{name}")


for _part in ("auth", "data_table", "drive", "files", "output", "userdata"):
    globals()[_part] = sys.modules[f"{__name__}.{_part}"] = Quiet(f"{__name__}.{_part}")
sys.modules[f"{__name__}.output"]._widgets = SimpleNamespace(_installed_url="a-widget-manager")  # anywidget asks
