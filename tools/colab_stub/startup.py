"""Run by IPython as a kernel of tools.colab starts: be Colab, and report which vae_utils was imported, once one is."""


def _start() -> None:
    import json
    import os
    import sys
    from importlib.metadata import version

    import google.colab  # noqa: F401  the notebooks look for it among the modules
    from IPython import get_ipython

    shell, settings = get_ipython(), json.loads(os.environ["VAE_COLAB"])

    def report() -> None:
        """Append a line to the log after the first cell that has imported vae_utils."""
        package = sys.modules.get("vae_utils")
        if package is None:
            return
        shell.events.unregister("post_execute", report)
        versions = {name: version(name) for name in settings["packages"]}
        with open(settings["log"], "a", encoding="utf-8") as log:
            log.write(json.dumps({"file": package.__file__, "versions": versions}) + "\n")

    shell.events.register("post_execute", report)


_start()
del _start
