"""The one MetaData, which all tables belong to."""

from sqlalchemy import MetaData

metadata = MetaData()
