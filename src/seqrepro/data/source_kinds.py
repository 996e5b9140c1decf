"""Where the files of a dataset can be had: the kinds of sources that the registry knows."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from seqrepro.config.base import Configuration, identity

MIRROR_VARIABLE = "SEQREPRO_MIRROR"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Sha1 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Size = Annotated[int, Field(ge=1)]
Url = Annotated[str, Field(pattern=r"^https?://[!-~]+$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
MirrorPath = Annotated[str, Field(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
MEMBER = r"\.?[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*"  # one part of a path: neither `.` nor `..`
MemberPath = Annotated[str, Field(pattern=rf"^({MEMBER}/)*{MEMBER}$")]
Compression = Literal["none", "gzip", "xz"]
Provenance = Literal["primary", "archived", "third-party"]


class ArchiveSource(Configuration):
    """A member of an archive on the web."""

    kind: Literal["archive"]
    url: Url
    archive: Literal["zip", "tar"] = identity("zip", description="tar: plain or compressed, as its first bytes say")
    member: MemberPath
    provenance: Provenance
    md5: Md5 | None = Field(None, description="of the archive")
    sha256: Sha256 | None = Field(None, description="of the archive")
    size: Size | None = identity(None, description="of the archive, in bytes")


class UrlSource(Configuration):
    """A file on the web."""

    kind: Literal["url"]
    url: Url
    provenance: Provenance
    compression: Compression = identity("none")
    md5: Md5 | None = identity(None, description="of the file as it is downloaded")
    sha256: Sha256 | None = identity(None, description="of the file as it is downloaded")
    size: Size | None = identity(None, description="of the file as it is downloaded, in bytes")


class MirrorSource(Configuration):
    """A file of the mirror that the user names: a folder, or a URL under which the same paths are found."""

    kind: Literal["mirror"]
    path: MirrorPath
    provenance: Provenance
    compression: Compression = "none"
    md5: Md5 | None = identity(None, description="of the file as the mirror stores it")
    sha256: Sha256 | None = identity(None, description="of the file as the mirror stores it")
    size: Size | None = identity(None, description="of the file as the mirror stores it, in bytes")


Source = Annotated[ArchiveSource | UrlSource | MirrorSource, Field(discriminator="kind")]


class RawFile(Configuration):
    """One file of a dataset: its name in `data/raw/<entry>/`, its content, and where it can be had."""

    name: FileName
    sha256: Sha256 | None = Field(description="of the content as stored in data/raw; null if nobody has computed it")
    git_blob_sha1: Sha1 | None = identity(None, description="of the same content, as git names it")
    size: Size | None = identity(None, description="of the same content, in bytes")
    sources: tuple[Source, ...] = Field(min_length=1)

    @property
    def known(self) -> bool:
        """Whether a checksum tells the right content from another."""
        return self.sha256 is not None or self.git_blob_sha1 is not None


RawFiles = TypeAdapter(tuple[RawFile, ...])


def first_problem(error: ValidationError) -> str:
    """The first finding of a validation as one line: key, what is wrong, what was found."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    found = "" if problem["type"] == "missing" else f", found {problem['input']!r}"
    return f"{key}: {problem['msg']}{found}"
