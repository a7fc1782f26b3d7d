"""Types that programs name in annotations."""

from gx.file_pattern_matcher import FilePatternMatcher as FilePatternMatcher

__all__ = ["FilePatternMatcher"]
