"""Development only: lets a CUDA build of torchvision be imported beside a CPU build of torch.

The torchvision wheel on PyPI is a CUDA build. Beside a CPU torch its compiled operators cannot be loaded; torchvision
goes on without them, but then registers fake kernels for two of them and fails with "operator torchvision::nms does
not exist", taking timm, transformers and Lightning down with it. Here the schemas of these two are defined first, so
that everything of torchvision which needs no compiled operator works.

Python imports a module of this name at every start where it finds one. The Makefile puts this folder on PYTHONPATH;
it is no part of the package. Nothing is imported here until torchvision is, so other programs pay nothing.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class TorchvisionSchemas:
    """A finder that finds nothing: it acts just before torchvision registers its fake kernels, then steps aside."""

    library: object = None
    """The `torch.library.Library` of the schemas; they exist for as long as it does."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Defines the schemas if this is the import that needs them; always leaves the search to the other finders."""
        if fullname == "torchvision._meta_registrations":
            sys.meta_path.remove(cls)
            # torchvision imports its extension first, so by now it knows whether its own operators could be loaded.
            if not sys.modules["torchvision.extension"]._has_ops():
                import torch

                library = torch.library.Library("torchvision", "DEF")
                for schema in SCHEMAS:
                    library.define(schema)
                cls.library = library
        return None


sys.meta_path.insert(0, TorchvisionSchemas)
