namespace LongCat.ML.Checkpoints;

/// <summary>The singular values of a product of thin matrices, without ever forming it: both are orthogonalized, and the small matrix between is decomposed.</summary>
internal static class LowRankSvd
{
    /// <summary>The nearest product of a rank to left · right (Eckart and Young 1936).</summary>
    /// <param name="left">[rows, inner], row-major.</param>
    /// <param name="right">[inner, columns], row-major.</param>
    /// <param name="rows">Rows of the product.</param>
    /// <param name="inner">The thin side.</param>
    /// <param name="columns">Columns of the product.</param>
    /// <param name="rank">The rank wanted; what the product lacks of it is filled with zeros.</param>
    /// <returns>U · S [rows, rank] and Vᵀ [rank, columns].</returns>
    public static (float[] Left, float[] Right) Truncate(double[] left, double[] right, int rows, int inner, int columns, int rank)
    {
        double[][] u = [.. Enumerable.Range(0, inner).Select(k => Enumerable.Range(0, rows).Select(r => left[(r * inner) + k]).ToArray())];
        double[][] v = [.. Enumerable.Range(0, inner).Select(k => right.AsSpan(k * columns, columns).ToArray())];
        double[,] leftFactor = Orthogonalize(u), rightFactor = Orthogonalize(v);

        // left · right = Qu · (Ru · Rvᵀ) · Qvᵀ; core[j] is a column of the matrix between.
        double[][] core = new double[inner][];
        for (int j = 0; j < inner; j++)
        {
            core[j] = new double[inner];
            for (int i = 0; i < inner; i++)
            {
                for (int k = 0; k < inner; k++)
                {
                    core[j][i] += leftFactor[i, k] * rightFactor[j, k];
                }
            }
        }

        double[][] rotation = [.. Enumerable.Range(0, inner).Select(j => Enumerable.Range(0, inner).Select(i => i == j ? 1.0 : 0).ToArray())];
        Rotate(core, rotation);
        int[] order = [.. Enumerable.Range(0, inner).OrderByDescending(j => Dot(core[j], core[j]))];
        float[] resultLeft = new float[rows * rank], resultRight = new float[rank * columns];
        for (int k = 0; k < Math.Min(rank, inner); k++)
        {
            for (int i = 0; i < inner; i++)
            {
                double fromLeft = core[order[k]][i], fromRight = rotation[order[k]][i];
                for (int r = 0; r < rows; r++)
                {
                    resultLeft[(r * rank) + k] += (float)(fromLeft * u[i][r]);
                }

                for (int c = 0; c < columns; c++)
                {
                    resultRight[(k * columns) + c] += (float)(fromRight * v[i][c]);
                }
            }
        }

        return (resultLeft, resultRight);
    }

    /// <summary>Gram and Schmidt, twice over: vectors become orthonormal (or zero where they depend on earlier ones); returned is R with vectors = Q · R.</summary>
    private static double[,] Orthogonalize(double[][] vectors)
    {
        double[,] factor = new double[vectors.Length, vectors.Length];
        for (int j = 0; j < vectors.Length; j++)
        {
            double before = Math.Sqrt(Dot(vectors[j], vectors[j]));
            for (int pass = 0; pass < 2; pass++)
            {
                for (int i = 0; i < j; i++)
                {
                    double along = Dot(vectors[i], vectors[j]);
                    factor[i, j] += along;
                    Add(vectors[j], vectors[i], -along);
                }
            }

            double norm = Math.Sqrt(Dot(vectors[j], vectors[j]));
            if (norm <= 1e-13 * before)
            {
                Array.Clear(vectors[j]);
                continue;
            }

            factor[j, j] = norm;
            for (int i = 0; i < vectors[j].Length; i++)
            {
                vectors[j][i] /= norm;
            }
        }

        return factor;
    }

    /// <summary>One-sided Jacobi: rotates pairs of columns until all are orthogonal; then they are U · S, and the rotations V.</summary>
    private static void Rotate(double[][] columns, double[][] rotation)
    {
        const int MostSweeps = 60;
        for (int sweep = 0; sweep < MostSweeps; sweep++)
        {
            bool rotated = false;
            for (int p = 0; p < columns.Length; p++)
            {
                for (int q = p + 1; q < columns.Length; q++)
                {
                    double a = Dot(columns[p], columns[p]), b = Dot(columns[q], columns[q]), c = Dot(columns[p], columns[q]);
                    if (Math.Abs(c) <= 1e-15 * Math.Sqrt(a * b) || c == 0)
                    {
                        continue;
                    }

                    rotated = true;
                    double zeta = (b - a) / (2 * c);
                    double tangent = Math.CopySign(1, zeta) / (Math.Abs(zeta) + Math.Sqrt(1 + (zeta * zeta)));
                    double cosine = 1 / Math.Sqrt(1 + (tangent * tangent)), sine = cosine * tangent;
                    Turn(columns[p], columns[q], cosine, sine);
                    Turn(rotation[p], rotation[q], cosine, sine);
                }
            }

            if (!rotated)
            {
                return;
            }
        }
    }

    private static void Turn(double[] p, double[] q, double cosine, double sine)
    {
        for (int i = 0; i < p.Length; i++)
        {
            (p[i], q[i]) = ((cosine * p[i]) - (sine * q[i]), (sine * p[i]) + (cosine * q[i]));
        }
    }

    private static double Dot(double[] a, double[] b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }

    private static void Add(double[] to, double[] from, double factor)
    {
        for (int i = 0; i < to.Length; i++)
        {
            to[i] += factor * from[i];
        }
    }
}
