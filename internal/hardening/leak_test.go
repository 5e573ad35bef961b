package main

import (
	"testing"

	"github.com/postrider/smtp/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
