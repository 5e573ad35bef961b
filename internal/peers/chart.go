package main

import "errors"

func (r *report) chart() ([]byte, error) { return nil, errors.New("TODO") }
