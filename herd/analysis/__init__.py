"""What the log says: the connection with all its views, and what the notebooks draw.

`open_log` and the views need nothing more than herd does. The modules beside it return pandas'
tables, and `plots` draws them: for these, `pip install "herd-balancer[notebooks]"`.
"""

from herd.analysis.log import VIEWS, open_log

__all__ = ["VIEWS", "open_log"]
