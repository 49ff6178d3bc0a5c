namespace LongCat.ML.Inference.Scheduling;

/// <summary>
/// The inputs of one step in the packed layout of docs/design.md section 3: the new tokens of all sequences one after another, no padding.
/// The arrays are pinned and reused; only their leading parts are in use.
/// </summary>
internal sealed class PackedStep
{
    private readonly int _pageSize;
    private readonly int _context;

    /// <param name="maxTokens">The most tokens of a step.</param>
    /// <param name="maxSequences">The most sequences of a step.</param>
    /// <param name="maxPages">The most pages of a sequence.</param>
    /// <param name="pageSize">Tokens of a page.</param>
    /// <param name="ngramNeighbors">N, the longest n-gram; 0 for none.</param>
    public PackedStep(int maxTokens, int maxSequences, int maxPages, int pageSize, int ngramNeighbors)
    {
        _pageSize = pageSize;
        _context = Math.Max(0, ngramNeighbors - 1);
        InputIds = Pinned<long>(maxTokens);
        PositionIds = Pinned<long>(maxTokens);
        QueryStart = Pinned<int>(maxSequences + 1);
        ContextLength = Pinned<int>(maxSequences);
        BlockTable = Pinned<int>(checked(maxSequences * maxPages));
        NgramContext = Pinned<long>(maxSequences * _context);
        LogitsIndex = Pinned<long>(maxTokens);
        RowAdapter = Pinned<int>(maxTokens);
    }

    /// <summary>T, the tokens of the step.</summary>
    public int Tokens { get; private set; }

    /// <summary>S, its sequences.</summary>
    public int Sequences { get; private set; }

    /// <summary>B, the width of the block table.</summary>
    public int Blocks { get; private set; }

    /// <summary>L, the rows whose logits are wanted; at least 1, so that no tensor is empty.</summary>
    public int Rows { get; private set; }

    /// <summary>Whether a request of the step takes hidden states; a step that nobody asks for them does not pay for them.</summary>
    public bool WantsHidden { get; private set; }

    /// <summary>N-1, the width of the n-gram context; 0 for none.</summary>
    public int NgramContextLength => _context;

    public long[] InputIds { get; }

    public long[] PositionIds { get; }

    public int[] QueryStart { get; }

    public int[] ContextLength { get; }

    public int[] BlockTable { get; }

    public long[] NgramContext { get; }

    public long[] LogitsIndex { get; }

    /// <summary>The index of each token's adapter, -1 for none.</summary>
    public int[] RowAdapter { get; }

    /// <summary>Writes the inputs of a step. The rows of logits are in the order of the entries and of their positions.</summary>
    public void Fill(ReadOnlySpan<StepEntry> entries)
    {
        Sequences = entries.Length;
        Blocks = 1;
        foreach (StepEntry entry in entries)
        {
            Blocks = Math.Max(Blocks, (entry.Start + entry.Count + _pageSize - 1) / _pageSize);
        }

        Tokens = 0;
        Rows = 0;
        WantsHidden = false;
        QueryStart[0] = 0;
        for (int s = 0; s < entries.Length; s++)
        {
            StepEntry entry = entries[s];
            List<int> tokens = entry.Sequence.Tokens;
            int end = entry.Start + entry.Count;
            int firstLogit = entry.Sequence.Rows == RowKind.Logits ? entry.FirstRow : end;
            WantsHidden |= entry.Sequence.Rows == RowKind.Hidden && entry.FirstRow < end;
            for (int position = entry.Start; position < end; position++)
            {
                if (position >= firstLogit)
                {
                    LogitsIndex[Rows++] = Tokens;
                }

                InputIds[Tokens] = tokens[position];
                RowAdapter[Tokens] = entry.Sequence.Adapter;
                PositionIds[Tokens] = position;
                Tokens++;
            }

            QueryStart[s + 1] = Tokens;
            ContextLength[s] = end;
            int used = (end + _pageSize - 1) / _pageSize;
            Span<int> blocks = BlockTable.AsSpan(s * Blocks, Blocks);
            for (int block = 0; block < Blocks; block++)
            {
                blocks[block] = block < used ? entry.Sequence.Pages[block] : -1;
            }

            for (int k = 0; k < _context; k++)
            {
                int position = entry.Start - _context + k;
                NgramContext[(s * _context) + k] = position >= 0 ? tokens[position] : -1;
            }
        }

        if (Rows == 0)
        {
            LogitsIndex[Rows++] = Tokens - 1;
        }
    }

    private static T[] Pinned<T>(int length) => GC.AllocateUninitializedArray<T>(Math.Max(1, length), pinned: true);
}
