"""Where a touchpoint came from and by what device. Pure.

`attribution` puts it together: of the page's address (`landing`), click ids (`clicks`), the sites that are listed
(`referrers`) and the rules for channels (`channels`), and of user agents and what else tells of a device (`devices`).
"""
