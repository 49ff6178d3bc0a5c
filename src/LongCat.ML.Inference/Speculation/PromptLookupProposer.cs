using System.Runtime.InteropServices;
using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Speculation;

/// <summary>
/// Proposes what followed the last N-1 tokens at their latest earlier occurrence in the request's own text (prompt lookup decoding, Saxena 2023), by ONNX Runtime GenAI's rules. Chained,
/// it takes one token, adds it to the n-gram and looks again.
/// </summary>
internal sealed class PromptLookupProposer(SpeculativeOptions options, SpeculativeCounters counters) : IDraftProposer
{
    private readonly int[] _key = new int[Math.Max(1, options.NGramSize - 1)];

    public bool ReadsHidden => false;

    public void Follow(IReadOnlyList<StepOutcome> outcomes, IModelRunner model)
    {
        // The text itself is all there is to know, and a proposal reads it.
    }

    public void Propose(IReadOnlyList<DraftSlot> slots)
    {
        foreach (DraftSlot slot in slots)
        {
            NGramIndex? index = slot.Sequence.Speculation?.Index;
            List<int> tokens = slot.Sequence.Tokens;
            if (index is null || tokens.Count < _key.Length)
            {
                continue;
            }

            index.Add(tokens);
            CollectionsMarshal.AsSpan(tokens)[^_key.Length..].CopyTo(_key);
            List<int> drafts = slot.Sequence.Drafts;
            if (options.NGramChainedLookup)
            {
                Chain(index, tokens, drafts, slot.Budget);
            }
            else if (index.Find(tokens, _key) is >= 0 and int place)
            {
                drafts.AddRange(tokens.GetRange(place, Math.Min(slot.Budget, tokens.Count - place)));
            }

            counters.LookupHits += drafts.Count > 0 ? 1 : 0;
            counters.LookupMisses += drafts.Count == 0 ? 1 : 0;
            counters.LookupTokens += drafts.Count;
        }
    }

    public void Abort()
    {
        // Nothing here takes long.
    }

    public void Dispose()
    {
        // Nothing here is unmanaged.
    }

    private void Chain(NGramIndex index, List<int> tokens, List<int> drafts, int budget)
    {
        while (drafts.Count < budget && index.Find(tokens, _key) is >= 0 and int place)
        {
            int token = tokens[place];
            counters.ChainedTokens += drafts.Count > 0 ? 1 : 0;
            drafts.Add(token);
            _key.AsSpan(1).CopyTo(_key);
            _key[^1] = token;
        }
    }
}
