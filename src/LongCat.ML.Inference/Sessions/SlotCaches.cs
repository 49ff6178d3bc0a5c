using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace LongCat.ML.Inference.Sessions;

/// <summary>
/// The caches of a padded graph: for each name one tensor [slots, heads, longest, dim], a slot for every sequence. A graph's batch is a run of neighbouring
/// slots, so where a batch's sequences lie apart their content changes places with that of the slots between; the page id of a sequence stays what it is.
/// </summary>
internal sealed unsafe class SlotCaches : IDisposable
{
    private readonly List<Cache> _caches = [];
    private readonly int[] _slotOf;
    private readonly int[] _pageIn;
    private readonly int[] _length;
    private readonly int _longest;
    private readonly float[] _exchange = new float[1 << 14];
    private readonly List<OrtValue> _bound = [];
    private readonly List<int> _members = [];

    /// <param name="slots">How many sequences fit.</param>
    /// <param name="longest">Tokens of a slot.</param>
    /// <param name="shapes">What the graph calls its caches behind <c>past_key_values.</c> and <c>present.</c>, with heads and dim.</param>
    public SlotCaches(int slots, int longest, IEnumerable<(string Name, int Heads, int Dim)> shapes)
    {
        _longest = longest;
        _slotOf = [.. Enumerable.Range(0, slots)];
        _pageIn = [.. Enumerable.Range(0, slots)];
        _length = new int[slots];
        foreach ((string name, int heads, int dim) in shapes)
        {
            _caches.Add(new Cache(name, heads, dim, new NativeBuffer(checked((long)slots * heads * longest * dim * sizeof(float)))));
        }
    }

    /// <summary>Slots whose content changed places, so far.</summary>
    public long Exchanges { get; private set; }

    public int Longest => _longest;

    /// <summary>The slot of a page.</summary>
    public int SlotOf(int page) => _slotOf[page];

    /// <summary>Records how many tokens of a page are in use; that much moves with it.</summary>
    public void SetLength(int page, int tokens) => _length[page] = tokens;

    /// <summary>Makes the slots of some pages neighbours.</summary>
    /// <returns>The first slot.</returns>
    public int Gather(ReadOnlySpan<int> pages)
    {
        _members.Clear();
        foreach (int page in pages)
        {
            _members.Add(_slotOf[page]);
        }

        _members.Sort();
        if (_members[^1] - _members[0] == _members.Count - 1)
        {
            return _members[0];
        }

        int first = BestWindow();
        int free = first;
        foreach (int slot in _members)
        {
            if (slot < first || slot >= first + _members.Count)
            {
                while (_members.BinarySearch(free) >= 0)
                {
                    free++;
                }

                Exchange(slot, free++);
            }
        }

        return first;
    }

    /// <summary>Binds the slots from <paramref name="first"/> on as inputs and, in the same memory, as outputs.</summary>
    public void Bind(OrtIoBinding binding, int first, int count)
    {
        foreach (Cache cache in _caches)
        {
            long slot = (long)cache.Heads * _longest * cache.Dim * sizeof(float);
            OrtValue value = OrtValue.CreateTensorValueWithData(
                OrtMemoryInfo.DefaultInstance, TensorElementType.Float, [count, cache.Heads, _longest, cache.Dim], cache.Buffer.Pointer + (nint)(first * slot), count * slot);
            _bound.Add(value);
            binding.BindInput($"past_key_values.{cache.Name}", value);
            binding.BindOutput($"present.{cache.Name}", value);
        }
    }

    /// <summary>Lets go of what <see cref="Bind"/> made; the run is over.</summary>
    public void Unbind()
    {
        _bound.ForEach(value => value.Dispose());
        _bound.Clear();
    }

    /// <summary>A cache's content in a page's slot for one head, [longest, dim].</summary>
    internal ReadOnlySpan<float> Content(int cache, int page, int head = 0) => new(Row(_caches[cache], _slotOf[page], head), _longest * _caches[cache].Dim);

    public void Dispose()
    {
        Unbind();
        _caches.ForEach(cache => cache.Buffer.Dispose());
    }

    /// <summary>The run of slots that already holds most of the members.</summary>
    private int BestWindow()
    {
        int best = 0;
        int most = -1;
        int behind = 0;
        int ahead = 0;
        for (int first = 0; first + _members.Count <= _pageIn.Length; first++)
        {
            while (behind < _members.Count && _members[behind] < first)
            {
                behind++;
            }

            while (ahead < _members.Count && _members[ahead] < first + _members.Count)
            {
                ahead++;
            }

            if (ahead - behind > most)
            {
                most = ahead - behind;
                best = first;
            }
        }

        return best;
    }

    private void Exchange(int left, int right)
    {
        int tokens = Math.Max(_length[_pageIn[left]], _length[_pageIn[right]]);
        foreach (Cache cache in _caches)
        {
            for (int head = 0; head < cache.Heads; head++)
            {
                Exchange(new Span<float>(Row(cache, left, head), tokens * cache.Dim), new Span<float>(Row(cache, right, head), tokens * cache.Dim));
            }
        }

        (_pageIn[left], _pageIn[right]) = (_pageIn[right], _pageIn[left]);
        _slotOf[_pageIn[left]] = left;
        _slotOf[_pageIn[right]] = right;
        Exchanges++;
    }

    private void Exchange(Span<float> left, Span<float> right)
    {
        while (!left.IsEmpty)
        {
            int count = Math.Min(left.Length, _exchange.Length);
            left[..count].CopyTo(_exchange);
            right[..count].CopyTo(left);
            _exchange.AsSpan(0, count).CopyTo(right);
            left = left[count..];
            right = right[count..];
        }
    }

    private float* Row(Cache cache, int slot, int head) => (float*)cache.Buffer.Pointer + ((((long)slot * cache.Heads) + head) * _longest * cache.Dim);

    private sealed record Cache(string Name, int Heads, int Dim, NativeBuffer Buffer);
}
