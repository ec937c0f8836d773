"""`python -m services.stager`."""

from services.stager.main import main
from throughline.kit.settings import StagerSettings, load_or_exit

main(load_or_exit(StagerSettings))
