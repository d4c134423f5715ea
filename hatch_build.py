"""Build hook: compiles the sparse CPU kernels into the wheel, or beside their sources for an editable install.

They are optional. Without a compiler, and on Windows, the install succeeds without them, as a wheel for any machine.
"""

import importlib.util
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = "slrprune/deploy/kernels"


class KernelsBuildHook(BuildHookInterface):
    """Adds the compiled library to a wheel, and the platform to the wheel's name."""

    PLUGIN_NAME = "custom"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._at_end = ExitStack()

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects the wheel's files; `version` is "editable" or "standard"."""
        build = _load(Path(self.root) / "src" / KERNELS / "build.py")
        try:
            if version == "editable":
                build.build()  # where Python will look for it: in the source tree
                return
            # Elsewhere, so that what a source tree was built into never depends on who built a wheel from it.
            folder = self._at_end.enter_context(tempfile.TemporaryDirectory())
            library = build.build(Path(folder) / build.LIBRARY.name)
        except build.BuildError as error:
            self.app.display_warning(f"slrprune is installed without its sparse CPU kernels: {error}.")
            return
        build_data["force_include"][str(library)] = f"{KERNELS}/{library.name}"
        build_data["pure_python"] = False
        # ctypes loads the library, so it serves every version of Python, but only this kind of machine.
        platform = self.build_config.builder.get_best_matching_tag().rpartition("-")[2]
        build_data["tag"] = f"py3-none-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling after the wheel was written."""
        self._at_end.close()


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("slrprune_kernels_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
