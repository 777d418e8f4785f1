//go:build ignore

// go-redis 9 by Sentinel. NOT RUN by the project's tests: no go-redis can be had where they run.
//
// NewFailoverClient subscribes to +switch-master, and closes what leads to the old master.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

func main() {
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName:    "mymaster",
		SentinelAddrs: []string{"10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"},
		Password:      os.Getenv("REDIS_PASSWORD"),
		// Without them a master that stands still holds the application for longer.
		DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second,
		// What was answered READONLY or lost is tried again. A write that was lost may have been done.
		MaxRetries: 3,
	})
	for count := 1; ; time.Sleep(10 * time.Millisecond) {
		if err := client.Set(context.Background(), "example", count, 0).Err(); err != nil {
			log.Println("no write:", err)
			continue
		}
		count++
	}
}
