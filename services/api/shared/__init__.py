"""What every feature uses: the database, the workspace, parameters, cursors, answers and problems."""
