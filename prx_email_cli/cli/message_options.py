"""Moved to ``options``."""

from prx_email_cli.cli.options import At as At
from prx_email_cli.cli.options import Attach as Attach
from prx_email_cli.cli.options import AttachStored as AttachStored
from prx_email_cli.cli.options import AttemptNow as AttemptNow
from prx_email_cli.cli.options import Bcc as Bcc
from prx_email_cli.cli.options import Body as Body
from prx_email_cli.cli.options import BodyFile as BodyFile
from prx_email_cli.cli.options import Cc as Cc
from prx_email_cli.cli.options import ExpiresIn as ExpiresIn
from prx_email_cli.cli.options import Html as Html
from prx_email_cli.cli.options import IdempotencyKey as IdempotencyKey
from prx_email_cli.cli.options import Sender as Sender
from prx_email_cli.cli.options import Within as Within
