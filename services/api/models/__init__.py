"""The phase models of a workspace, and the phases of one."""
