#!/usr/bin/env python3
"""Tests of the counting of tests."""

import unittest

from count_tests import count, reason

PASSED = "All tests passed (12 assertions in 3 test cases)\n"
FAILED = "test cases: 5 | 3 passed | 2 failed\nassertions: 9 | 7 passed | 2 failed\n"
MIXED = "test cases: 4 | 2 passed | 1 skipped | 1 failed as expected\n"
SKIPPED = "SKIPPED [2] test_run.py:7: there is no uvloop here\n5 passed, 2 skipped in 9.95s\n"


class CountTest(unittest.TestCase):
    def test_a_catch2_program_counts_as_its_cases(self):
        self.assertEqual(count("OK", PASSED), (3, 0, 0))
        self.assertEqual(count("FAIL", FAILED), (3, 2, 0))
        self.assertEqual(count("OK", MIXED), (3, 0, 1))

    def test_a_pytest_program_counts_as_its_cases(self):
        self.assertEqual(count("OK", "....\n4 passed in 2.10s\n"), (4, 0, 0))
        self.assertEqual(count("FAIL", "2 failed, 3 passed, 1 error in 80.58s (0:01:20)\n"), (3, 3, 0))
        self.assertEqual(count("OK", SKIPPED), (5, 0, 2))
        self.assertEqual(reason(SKIPPED), "there is no uvloop here")

    def test_any_other_program_counts_as_one(self):
        self.assertEqual(count("OK", "fine\n"), (1, 0, 0))
        self.assertEqual(count("FAIL", ""), (0, 1, 0))
        self.assertEqual(count("SKIP", "no rustc here\n"), (0, 0, 1))

    def test_a_program_that_dies_is_a_failure_whatever_it_printed(self):
        self.assertEqual(count("TIMEOUT", ""), (0, 1, 0))
        self.assertEqual(count("FAIL", PASSED), (3, 1, 0))

    def test_the_reason_of_a_skip_is_the_last_line(self):
        self.assertEqual(reason("looking\nno rustc here\n\n"), "no rustc here")
        self.assertEqual(reason(" \n"), "it gave no reason")


if __name__ == "__main__":
    unittest.main()
