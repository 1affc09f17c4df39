"""A backend by its name."""

from sparsity._grid import GridType
from sparsity._plugins import plugin


def backend(name: str) -> GridType:
    """Give the Grid class of a backend by its module name, or one of its kernels as in `sps:native`.

    Raises ValueError for an unknown name, for a file that has no class `Backend`, and for a kernel of a backend that
    has none.
    """
    storage, colon, kernel = name.partition(":")
    module = plugin("sparsity", storage, "backend")
    if not hasattr(module, "Backend"):
        raise ValueError(
            f"The file of the backend {storage!r} has no class `Backend`; a backend is a file with one; "
            "name the class so, or put an underscore in front of the name of a file that is no backend."
        )
    if not colon:
        return module.Backend
    if not hasattr(module, "with_kernel"):
        raise ValueError(
            f"The backend {storage!r} has no kernels, {kernel!r} was asked for; expected none; leave out what is "
            "behind the colon."
        )
    return module.with_kernel(kernel)
