"""`python -m bench.profiled FILE MODULE`: run a module under cProfile until it ends; the profile goes to FILE."""

import cProfile
import runpy
import sys


def main() -> None:
    """Run the module named in the arguments."""
    file, module = sys.argv[1:3]
    sys.argv = [module]
    profile = cProfile.Profile()
    profile.enable()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=False)
    finally:
        profile.disable()
        profile.dump_stats(file)


if __name__ == "__main__":
    main()
