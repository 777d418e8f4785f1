// redigo by Sentinel: it can ask sentinels, but does not follow by itself. master() and the pool are all there is to it.
//
//	apt-get install golang-go golang-github-gomodule-redigo-dev     or: go get github.com/gomodule/redigo@v1.8.3
//	export GO111MODULE=off GOPATH=/usr/share/gocode                 # with Debian's packages
//	SENTINELS=10.0.0.1:26379,10.0.0.2:26379,10.0.0.3:26379 go run redigo.go     # then kill the master
//
// MASTER is the name in sentinel.conf, REDIS_PASSWORD the servers' password.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

const (
	timeout  = time.Second           // without one a master that stands still holds the application
	period   = 10 * time.Millisecond // between two writes
	deadline = time.Minute           // for the whole try
	enough   = 20                    // writes on the new server
)

var patience = []redis.DialOption{
	redis.DialConnectTimeout(timeout), redis.DialReadTimeout(timeout), redis.DialWriteTimeout(timeout),
}

// master connects to the master: the first sentinel that knows one, and a server that says of itself that it is it.
func master() (redis.Conn, error) {
	var reasons []string
	for _, address := range strings.Split(setting("SENTINELS", "127.0.0.1:26379"), ",") {
		conn, err := masterBy(address)
		if err == nil {
			return conn, nil
		}
		reasons = append(reasons, fmt.Sprintf("%s: %v", address, err))
	}
	return nil, fmt.Errorf("no master. %s", strings.Join(reasons, "; "))
}

func masterBy(address string) (redis.Conn, error) {
	sentinel, err := redis.Dial("tcp", address, patience...)
	if err != nil {
		return nil, err
	}
	defer sentinel.Close()
	found, err := redis.Strings(sentinel.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", setting("MASTER", "mymaster")))
	if err != nil {
		return nil, err
	}
	options := append([]redis.DialOption{redis.DialPassword(os.Getenv("REDIS_PASSWORD"))}, patience...)
	conn, err := redis.Dial("tcp", net.JoinHostPort(found[0], found[1]), options...)
	if err != nil {
		return nil, err
	}
	// A sentinel may be behind.
	if err := isMaster(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func isMaster(conn redis.Conn) error {
	role, err := redis.Values(conn.Do("ROLE"))
	if err != nil {
		return err
	}
	if name, err := redis.String(role[0], nil); err != nil || name != "master" {
		return errors.New("it is no master")
	}
	return nil
}

// A connection is asked for its role before it is used again after a rest: what was a master may be none any more.
var pool = redis.Pool{
	Dial:        master,
	MaxIdle:     4,
	IdleTimeout: time.Minute,
	TestOnBorrow: func(conn redis.Conn, since time.Time) error {
		if time.Since(since) < timeout {
			return nil
		}
		return isMaster(conn)
	},
}

// write says which server took the write.
func write(count int) (server, port string, err error) {
	conn := pool.Get()
	defer conn.Close()
	if _, err = conn.Do("SET", "example", count); err != nil {
		if strings.HasPrefix(err.Error(), "READONLY") {
			// The pool takes an error that was answered for a connection that is well.
			conn.Do("QUIT")
		}
		return
	}
	info, err := redis.String(conn.Do("INFO", "server"))
	for _, line := range strings.Split(info, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "run_id":
			server = value
		case "tcp_port":
			port = value
		}
	}
	return
}

func main() {
	var first, complaint string
	var last time.Time
	var longest time.Duration
	count, moved := 0, 0
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(period) {
		server, port, err := write(count + 1)
		if err != nil {
			if err.Error() != complaint {
				complaint = err.Error()
				fmt.Println("no write:", complaint)
			}
			continue
		}
		count++
		if !last.IsZero() && time.Since(last) > longest {
			longest = time.Since(last)
		}
		last = time.Now()
		if first == "" {
			first = server
			fmt.Println("writing to port", port)
		}
		if server != first {
			moved++
		}
		if moved == enough {
			fmt.Printf("followed to port %s: %d writes, longest pause %d ms\n", port, count, longest.Milliseconds())
			return
		}
	}
	fmt.Printf("did not follow in %v: %d writes\n", deadline, count)
	os.Exit(1)
}

func setting(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
