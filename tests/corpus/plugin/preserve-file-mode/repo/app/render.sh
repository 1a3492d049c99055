#!/bin/sh
cat web.txt
