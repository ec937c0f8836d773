"""Where a touchpoint came from and by what device. Pure.

`facts` puts it together: of the page's address (`landing`), click ids (`clicks`), the sites that are known
(`referrers`) and the rules for channels (`channels`), and of user agents and what else tells of a device (`devices`).
"""
