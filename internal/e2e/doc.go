// Package e2e tests the binary as users run it: as a process that receives HTTP requests from the official clients and stops on
// signals. It contains only tests; package fleet has those of several servers with a Redis, package pages those of the pages.
package e2e
