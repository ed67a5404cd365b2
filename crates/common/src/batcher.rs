//! Calls that come while others are being served are served together, as the next group.
//!
//! A commit waits for the disk and a message for its answer, whether they carry one image or a hundred. So under
//! load many share one, while a lonely call waits for nobody: a group is whatever has come meanwhile, never what might
//! come.

use tokio::sync::{mpsc, oneshot};

use crate::supervisor::Supervisor;

/// The way to a task that serves calls in groups. Clones lead to the same task.
#[derive(Debug)]
pub struct Batcher<T, R>(mpsc::Sender<(T, oneshot::Sender<R>)>);

impl<T, R> Clone for Batcher<T, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts a loop that hands up to `most` calls at a time to `serve`, which returns their answers in the same order.
    /// It ends when nobody can call any more.
    pub fn start<S, F>(supervisor: &Supervisor, name: &'static str, most: usize, serve: S) -> Self
    where
        S: Fn(Vec<T>) -> F + Send + 'static,
        F: Future<Output = Vec<R>> + Send,
    {
        let (sender, mut calls) = mpsc::channel(most);
        supervisor.spawn(name, async move {
            let mut group = Vec::with_capacity(most);
            while calls.recv_many(&mut group, most).await > 0 {
                let (asked, callers): (Vec<T>, Vec<oneshot::Sender<R>>) = group.drain(..).unzip();
                for (caller, answer) in callers.into_iter().zip(serve(asked).await) {
                    // It may have gone away meanwhile.
                    let _ = caller.send(answer);
                }
            }
        });
        Self(sender)
    }

    /// The answer to `asked`; `None` when the task came to grief over its group.
    pub async fn call(&self, asked: T) -> Option<R> {
        let (caller, answer) = oneshot::channel();
        self.0.send((asked, caller)).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn supervisor() -> Supervisor {
        Supervisor::new(CancellationToken::new())
    }

    #[tokio::test]
    async fn a_lonely_call_is_served_alone_and_at_once() {
        let group = Batcher::start(&supervisor(), "test", 8, async |asked: Vec<u32>| asked);
        assert_eq!(group.call(1).await, Some(1));
    }

    #[tokio::test]
    async fn what_comes_while_a_group_is_served_makes_up_the_next() {
        let (sizes, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
        let group = Batcher::start(&supervisor(), "test", 8, {
            let (sizes, gate) = (sizes.clone(), gate.clone());
            move |asked: Vec<u32>| {
                let (sizes, gate) = (sizes.clone(), gate.clone());
                async move {
                    gate.acquire().await.unwrap().forget();
                    sizes.lock().unwrap().push(asked.len());
                    asked.into_iter().map(|number| number * 10).collect()
                }
            }
        });
        let mut first = Box::pin(group.call(0));
        assert!(futures_util::poll!(&mut first).is_pending());
        tokio::task::yield_now().await; // the task takes the first alone
        let mut others: Vec<_> = (1..=10).map(|number| Box::pin(group.call(number))).collect();
        for call in &mut others {
            assert!(futures_util::poll!(call).is_pending());
        }
        gate.add_permits(10);
        assert_eq!(first.await, Some(0));
        let answers: Vec<_> = join_all(others).await;
        assert_eq!(answers, (1..=10).map(|number| Some(number * 10)).collect::<Vec<_>>());
        assert_eq!(*sizes.lock().unwrap(), [1, 8, 2]);
    }
    #[tokio::test]
    async fn a_group_that_panics_answers_none_of_its_calls_and_breaks_the_service() {
        let supervisor = supervisor();
        let group: Batcher<u32, u32> =
            Batcher::start(&supervisor, "storing", 8, async |_| panic!("it came to grief"));
        assert_eq!(group.call(1).await, None);
        let said = supervisor.broken().await.to_string();
        assert_eq!(said, r#"its loop "storing" panicked: it came to grief"#);
    }
}
