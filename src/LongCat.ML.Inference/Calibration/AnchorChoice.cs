using System.Numerics;

namespace LongCat.ML.Inference.Calibration;

/// <summary>Which attentions choose blocks for those behind them, from the blocks that each chose by itself (arXiv 2512.21911: anchors by Jaccard similarity).</summary>
internal static class AnchorChoice
{
    /// <summary>
    /// Goes through the attentions in order: one whose blocks are at least as similar, on average, to those of the nearest anchor before it reuses them, another becomes an anchor. The first is one.
    /// </summary>
    /// <param name="attentions">How many attentions there are.</param>
    /// <param name="choices">For each choice the blocks of each attention that can choose, as bits.</param>
    /// <param name="threshold">The similarity from which blocks are reused.</param>
    /// <returns>The anchors, and for each attention the similarity to the anchor before it; attentions that cannot choose reuse, with 1.</returns>
    public static (IReadOnlyList<int> Anchors, IReadOnlyList<double> Similarity) Of(int attentions, IReadOnlyList<IReadOnlyDictionary<int, uint[]>> choices, double threshold)
    {
        List<int> anchors = [];
        double[] similarity = new double[attentions];
        Array.Fill(similarity, 1);
        int anchor = -1;
        for (int attention = 0; attention < attentions; attention++)
        {
            bool chooses = choices.Count > 0 && choices[0].ContainsKey(attention);
            if (anchor >= 0 && chooses)
            {
                similarity[attention] = choices.Average(choice => Jaccard(choice[anchor], choice[attention]));
            }

            // Without a choice nothing is known, and whoever chooses for himself errs least.
            bool becomes = attention == 0 || choices.Count == 0 || (chooses && (anchor < 0 || similarity[attention] < threshold));
            if (becomes)
            {
                anchors.Add(attention);
                anchor = chooses ? attention : anchor;
            }
        }

        return (anchors, similarity);
    }

    /// <summary>The blocks that both have of those that either has; 1 where neither has any.</summary>
    public static double Jaccard(ReadOnlySpan<uint> left, ReadOnlySpan<uint> right)
    {
        int both = 0, either = 0;
        for (int i = 0; i < left.Length; i++)
        {
            both += BitOperations.PopCount(left[i] & right[i]);
            either += BitOperations.PopCount(left[i] | right[i]);
        }

        return either == 0 ? 1 : (double)both / either;
    }
}
