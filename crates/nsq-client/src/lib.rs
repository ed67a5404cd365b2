//! A client for NSQ: producer and consumer over TCP, discovery through nsqlookupd.
