"""What alembic runs for every service; the revisions are in the services' own ``migrations`` packages."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
