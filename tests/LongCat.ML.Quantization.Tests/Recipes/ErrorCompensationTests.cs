namespace LongCat.ML.Quantization.Tests;

public sealed class ErrorCompensationTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void Each_column_is_rounded_where_least_squares_would_put_it(int columns)
    {
        // With the columns so far fixed, the columns still free are solved for by least squares on the outputs; the next one is then rounded.
        const int rows = 50;
        float[] x = Samples.Correlated(rows, columns, 3);
        float[] weights = Samples.Gaussian(40 * columns, 0.1, 4);
        const double step = 0.05;
        (sbyte[] levels, _) = Compensate(weights, 40, columns, 0, Gram(x, rows, columns), (_, _, _, _) => step);
        for (int n = 0; n < 40; n++)
        {
            double[] exact = [.. weights.AsSpan(n * columns, columns).ToArray().Select(w => (double)w)];
            double[] free = [.. exact];
            for (int j = 0; j < columns; j++)
            {
                double[] gram = Gram(x, rows, columns);
                free = FreeColumns(gram, columns, exact, free, j);
                double level = Math.Clamp(Math.Round(free[j] / step), -8, 7);
                Assert.Equal((int)level, levels[(n * columns) + j]);
                free[j] = level * step;
            }
        }
    }

    [Theory]
    [InlineData(70, 0)]
    [InlineData(300, 0)]
    [InlineData(300, 32)]
    [InlineData(300, 96)]
    [InlineData(200, 160)]
    public void Levels_are_those_of_the_published_updates(int columns, int group)
    {
        const int rows = 60;
        float[] weights = Samples.Gaussian(rows * columns, 0.02, 5);
        double[] gram = Gram(Samples.Correlated(2 * columns, columns, 6), 2 * columns, columns);
        int length = group == 0 ? columns : group;
        static double Choose(ReadOnlySpan<float> values)
        {
            float largest = 0;
            foreach (float value in values)
            {
                largest = Math.Max(largest, Math.Abs(value));
            }

            return largest / 6;
        }

        (sbyte[] levels, double[] losses) = Compensate(weights, rows, columns, group, gram, (_, _, values, _) => Choose(values));
        double[,] u = UpperCholesky(Inverse(gram, columns), columns);
        int different = 0;
        for (int n = 0; n < rows; n++)
        {
            double[] w = [.. weights.AsSpan(n * columns, columns).ToArray().Select(value => (double)value)];
            double step = 0;
            double loss = 0;
            for (int j = 0; j < columns; j++)
            {
                if (j % length == 0)
                {
                    step = Choose([.. w.Skip(j).Take(length).Select(value => (float)value)]);
                }

                double level = Math.Clamp(Math.Round(w[j] / step), -8, 7);
                double e = (w[j] - (level * step)) / u[j, j];
                loss += e * e;
                different += level == levels[(n * columns) + j] ? 0 : 1;
                for (int next = j; next < columns; next++)
                {
                    w[next] -= e * u[j, next];
                }
            }

            Assert.Equal(loss, losses[n], 1e-6 * loss);
        }

        // The two forms differ in the last bits only; a step is a float, so they could differ at a tie, which these seeds have none of.
        Assert.Equal(0, different);
    }

    [Fact]
    public void Channels_that_were_always_zero_are_rounded_to_nearest_and_disturb_nothing()
    {
        const int columns = 64;
        float[] x = Samples.Correlated(200, columns, 7);
        for (int r = 0; r < 200; r++)
        {
            x[(r * columns) + 3] = x[(r * columns) + 40] = 0;
        }

        float[] weights = Samples.Gaussian(10 * columns, 0.02, 8);
        (sbyte[] levels, double[] losses) = Compensate(weights, 10, columns, 0, Gram(x, 200, columns), (_, _, _, _) => 0.01);
        Assert.All(losses, loss => Assert.True(double.IsFinite(loss)));
        for (int n = 0; n < 10; n++)
        {
            foreach (int dead in new[] { 3, 40 })
            {
                Assert.Equal((sbyte)Math.Clamp(MathF.Round(weights[(n * columns) + dead] / 0.01f), -8, 7), levels[(n * columns) + dead]);
            }
        }
    }

    private static (sbyte[] Levels, double[] Losses) Compensate(float[] weights, int n, int k, int group, double[] gram, ErrorCompensation.ScaleChoice choose)
    {
        UpperFactor factor = UpperFactor.TryFactorize((double[])gram.Clone(), k, -1, CancellationToken.None)!;
        sbyte[] levels = new sbyte[n * k];
        return (levels, ErrorCompensation.Quantize(weights, n, k, group, factor, choose, levels, -1, CancellationToken.None));
    }

    private static double[] Gram(float[] x, int rows, int columns)
    {
        SiteAccumulator accumulator = new(Samples.Site(columns), gram: true);
        accumulator.Add(x.AsSpan(0, rows * columns));
        double[] gram = accumulator.Complete().Gram!;
        double mean = Enumerable.Range(0, columns).Average(i => gram[(i * columns) + i]);
        for (int i = 0; i < columns; i++)
        {
            gram[(i * columns) + i] += 0.01 * mean;
        }

        return gram;
    }

    /// <summary>argmin of (w - v)·H·(w - v)ᵀ over v_j.., the columns before j fixed: H_ff·d_f = -H_fF·d_F.</summary>
    private static double[] FreeColumns(double[] gram, int columns, double[] exact, double[] current, int fixedColumns)
    {
        int free = columns - fixedColumns;
        double[] block = new double[free * free];
        double[] right = new double[free];
        for (int i = 0; i < free; i++)
        {
            for (int j = 0; j < free; j++)
            {
                block[(i * free) + j] = gram[((fixedColumns + i) * columns) + fixedColumns + j];
            }

            for (int j = 0; j < fixedColumns; j++)
            {
                right[i] -= gram[((fixedColumns + i) * columns) + j] * (exact[j] - current[j]);
            }
        }

        double[] inverse = Inverse(block, free);
        double[] result = [.. current];
        for (int i = 0; i < free; i++)
        {
            double error = Enumerable.Range(0, free).Sum(j => inverse[(i * free) + j] * right[j]);
            result[fixedColumns + i] = exact[fixedColumns + i] - error;
        }

        return result;
    }

    private static double[] Inverse(double[] matrix, int size)
    {
        double[] a = (double[])matrix.Clone();
        double[] inverse = new double[size * size];
        for (int i = 0; i < size; i++)
        {
            inverse[(i * size) + i] = 1;
        }

        for (int pivot = 0; pivot < size; pivot++)
        {
            double scale = 1 / a[(pivot * size) + pivot];
            for (int j = 0; j < size; j++)
            {
                a[(pivot * size) + j] *= scale;
                inverse[(pivot * size) + j] *= scale;
            }

            for (int i = 0; i < size; i++)
            {
                double factor = i == pivot ? 0 : a[(i * size) + pivot];
                for (int j = 0; factor != 0 && j < size; j++)
                {
                    a[(i * size) + j] -= factor * a[(pivot * size) + j];
                    inverse[(i * size) + j] -= factor * inverse[(pivot * size) + j];
                }
            }
        }

        return inverse;
    }

    /// <summary>U with UᵀU = A.</summary>
    private static double[,] UpperCholesky(double[] a, int size)
    {
        double[,] u = new double[size, size];
        for (int i = 0; i < size; i++)
        {
            for (int j = i; j < size; j++)
            {
                double sum = a[(i * size) + j] - Enumerable.Range(0, i).Sum(c => u[c, i] * u[c, j]);
                u[i, j] = i == j ? Math.Sqrt(sum) : sum / u[i, i];
            }
        }

        return u;
    }
}
