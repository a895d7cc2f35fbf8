"""What to install where a library that the engine needs is not found."""

_INSTALL = {
    "libdnnl": "pip install --force-reinstall onednn-cpu-gomp==2023.2.0 brings it "
    "(into an environment: pip install --target leaves it out)",
    "libgomp": "it is the system's: apt-get install libgomp1, or dnf install libgomp",
}


def explained(error: ImportError) -> ImportError:
    """The loader's error with the way out, if it is of one of these libraries."""
    for library, install in _INSTALL.items():
        if str(error).startswith(library):
            return ImportError(f"normlab's engine does not load: {error}; {install}")
    return error
