"""`trialsim` with small files: sixteen replicates each, so that a short sweep has many. Workers need not know."""

from trialsim.cli.main import main
from trialsim.sweeps import store

if __name__ == "__main__":
    store.PARTICIPANTS_PER_FILE = {False: 1, True: 1}
    main()
