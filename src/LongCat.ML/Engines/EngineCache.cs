namespace LongCat.ML.Engines;

/// <summary>
/// The loaded models of the process. ML.NET never disposes a custom mapping, so steps borrow a model for as long as they run and the cache
/// keeps it until it is released or the limit <see cref="LongCatOptions.MaxLoadedModels"/> pushes it out.
/// </summary>
/// <remarks>Thread-safe. A model is opened once, however many ask for it at the same time.</remarks>
internal sealed class EngineCache
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, Entry> entries = [];
    private long clock;

    public static EngineCache Shared { get; } = new();

    /// <summary>How many models are loaded.</summary>
    public int Count
    {
        get
        {
            lock (gate)
            {
                return entries.Count;
            }
        }
    }

    /// <summary>Borrows the model of <paramref name="key"/>, opening it if it is not loaded.</summary>
    public Lease<T> Acquire<T>(string key, Func<T> open)
        where T : class, IDisposable
    {
        Entry? entry;
        lock (gate)
        {
            if (!entries.TryGetValue(key, out entry))
            {
                entry = new Entry(key, new Lazy<IDisposable>(open));
                entries.Add(key, entry);
            }

            entry.Leases++;
            entry.LastUsed = ++clock;
        }

        try
        {
            var model = (T)entry.Model.Value;
            Trim();
            return new Lease<T>(model, () => Return(entry));
        }
        catch
        {
            // Whoever asks next tries to open it again: the folder may have been put right.
            lock (gate)
            {
                Forget(entry);
            }

            throw;
        }
    }

    /// <summary>Closes the models whose key satisfies <paramref name="predicate"/>: at once where nobody uses them, otherwise when the last user is done.</summary>
    /// <returns>How many models were loaded and will be, or are, closed.</returns>
    public int Release(Func<string, bool> predicate)
    {
        Entry[] released;
        lock (gate)
        {
            released = [.. entries.Values.Where(entry => predicate(entry.Key))];
            foreach (Entry entry in released)
            {
                Forget(entry);
            }
        }

        Close(released.Where(entry => entry.TakeIdle(gate)));
        return released.Length;
    }

    private void Return(Entry entry)
    {
        lock (gate)
        {
            entry.Leases--;
        }

        if (entry.Forgotten)
        {
            Close(entry.TakeIdle(gate) ? [entry] : []);
        }
        else
        {
            Trim();
        }
    }

    /// <summary>Closes idle models above the limit, the least recently used first.</summary>
    public void Trim()
    {
        var closing = new List<Entry>();
        lock (gate)
        {
            foreach (Entry entry in entries.Values.Where(entry => entry.Leases == 0).OrderBy(entry => entry.LastUsed).ToArray())
            {
                if (entries.Count > LongCatOptions.MaxLoadedModels)
                {
                    Forget(entry);
                    closing.Add(entry);
                }
            }
        }

        Close(closing.Where(entry => entry.TakeIdle(gate)));
    }

    private void Forget(Entry entry)
    {
        entry.Forgotten = true;
        if (entries.TryGetValue(entry.Key, out Entry? current) && ReferenceEquals(current, entry))
        {
            entries.Remove(entry.Key);
        }
    }

    private static void Close(IEnumerable<Entry> closing)
    {
        foreach (Entry entry in closing)
        {
            if (entry.Model.IsValueCreated)
            {
                entry.Model.Value.Dispose();
            }
        }
    }

    private sealed class Entry(string key, Lazy<IDisposable> model)
    {
        private bool taken;

        public string Key { get; } = key;

        public Lazy<IDisposable> Model { get; } = model;

        public int Leases { get; set; }

        public long LastUsed { get; set; }

        public bool Forgotten { get; set; }

        /// <summary>True for the one caller that may close the entry.</summary>
        public bool TakeIdle(Lock gate)
        {
            lock (gate)
            {
                if (Leases > 0 || taken)
                {
                    return false;
                }

                return taken = true;
            }
        }
    }
}

/// <summary>A model borrowed from the cache; disposing gives it back.</summary>
internal sealed class Lease<T>(T model, Action giveBack) : IDisposable
    where T : class
{
    private Action? pending = giveBack;

    public T Model { get; } = model;

    public void Dispose() => Interlocked.Exchange(ref pending, null)?.Invoke();
}
