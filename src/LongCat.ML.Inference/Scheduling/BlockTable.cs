using System.Runtime.InteropServices;
using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Scheduling;

/// <summary>
/// The block table of a step, int32 [S, B]: a row of page ids for each sequence, -1 where there is none. A row stays from step to step and only what changed in it is
/// written: of a sequence of a million tokens a step computes a few pages, and its row has 62,500.
/// </summary>
internal sealed class BlockTable
{
    private const int None = -1;

    private readonly int _maxWidth;
    private readonly Row[] _rows;

    /// <param name="maxRows">The most sequences of a step.</param>
    /// <param name="maxWidth">The most pages of a sequence.</param>
    public BlockTable(int maxRows, int maxWidth)
    {
        _maxWidth = maxWidth;
        _rows = new Row[maxRows];
        Entries = GC.AllocateUninitializedArray<int>(checked(maxRows * maxWidth), pinned: true);
    }

    /// <summary>Row-major, <see cref="Width"/> entries a row; pinned.</summary>
    public int[] Entries { get; }

    /// <summary>B. It grows with the longest sequence so far, in few steps, because all rows move then.</summary>
    public int Width { get; private set; } = 1;

    /// <summary>Entries written so far.</summary>
    public long Written { get; private set; }

    /// <summary>Makes rows wide enough.</summary>
    public void Widen(int pages)
    {
        if (pages > Width)
        {
            Width = (int)Math.Min(_maxWidth, (long)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)pages));
            Array.Clear(_rows);
        }
    }

    /// <summary>Writes the first pages of a list.</summary>
    /// <param name="index">The row.</param>
    /// <param name="pages">The pages of a sequence.</param>
    /// <param name="count">How many of them.</param>
    /// <param name="version">Names the content of the list: under the same number entries do not change; 0 says nothing.</param>
    public void Write(int index, List<int> pages, int count, long version)
    {
        Span<int> row = Begin(index);
        ref Row state = ref _rows[index];
        int kept = version != 0 && state.Version == version ? Math.Min(state.End, count) : 0;
        CollectionsMarshal.AsSpan(pages)[kept..count].CopyTo(row[kept..]);
        Written += count - kept;
        if (state.End > count)
        {
            row[count..state.End].Fill(None);
            Written += state.End - count;
        }

        (state.Version, state.Sinks, state.Start, state.End) = (version, 0, 0, count);
    }

    /// <summary>Writes the pages of streaming attentions that are held; all others become -1.</summary>
    /// <param name="index">The row.</param>
    /// <param name="pages">The pages of a sequence.</param>
    /// <param name="sinks">How many pages at the beginning are never given back.</param>
    /// <param name="count">How many pages the tokens of the step and those before take; beyond them nothing is written.</param>
    public void Write(int index, StreamingPages pages, int sinks, int count)
    {
        Span<int> row = Begin(index);
        ref Row state = ref _rows[index];
        row[..state.Sinks].Fill(None);
        row[state.Start..state.End].Fill(None);
        sinks = Math.Min(sinks, count);
        int start = Math.Clamp(pages.First, sinks, count);
        for (int i = 0; i < sinks; i++)
        {
            row[i] = pages[i];
        }

        for (int i = start; i < count; i++)
        {
            row[i] = pages[i];
        }

        Written += state.Sinks + (state.End - state.Start) + sinks + (count - start);
        (state.Version, state.Sinks, state.Start, state.End) = (0, sinks, start, count);
    }

    private Span<int> Begin(int index)
    {
        Span<int> row = Entries.AsSpan(index * Width, Width);
        if (!_rows[index].Used)
        {
            row.Fill(None);
            Written += Width;
            _rows[index].Used = true;
        }

        return row;
    }

    /// <summary>What a row holds: entries below Sinks and in Start..End; all others are -1.</summary>
    private struct Row
    {
        public bool Used;
        public long Version;
        public int Sinks;
        public int Start;
        public int End;
    }
}
