"""The command line of Alidade."""

from __future__ import annotations

import typer

from alidade.cli import account, admin, indexes, jobs, keys, reference
from alidade.cli.crossmatch import crossmatch
from alidade.cli.demo import demo
from alidade.cli.doctor import doctor
from alidade.cli.extinction import extinction
from alidade.cli.forced import forced
from alidade.cli.frames import frames
from alidade.cli.masters import masters
from alidade.cli.process import process
from alidade.cli.solve import solve
from alidade.cli.up import up
from alidade.cli.upstreams import upstreams

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Telescope frames in, calibrated catalogues out."
)
app.command()(process)
app.command()(forced)
app.command()(extinction)
app.command()(masters)
app.command()(solve)
app.command()(frames)
app.command()(up)
app.command()(demo)
app.command()(doctor)
app.command()(crossmatch)
app.command()(upstreams)
app.command()(account.login)
app.command()(account.logout)
app.command()(account.register)
app.command()(account.recover)
app.command("new-password")(account.new_password)
app.command()(account.address)
app.command("confirm-address")(account.confirm_address)
app.add_typer(jobs.app, name="jobs")
app.add_typer(reference.app, name="reference")
app.add_typer(keys.app, name="keys")
app.add_typer(indexes.app, name="indexes")
app.add_typer(admin.app, name="admin")

if __name__ == "__main__":
    app()
