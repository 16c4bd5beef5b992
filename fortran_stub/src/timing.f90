!> Wall-clock time of the parts of a step; written to timing.output at the end.
module timing
   use mpi, only: MPI_Wtime
   use par_kind, only: dp
   use in_out_manager, only: lwp, numout
   use lib_mpp, only: mpp_stats, mppsize
   implicit none
   private
   public :: timing_start, timing_stop, timing_finalize

   integer, parameter, public :: jptim_all = 1, jptim_dyn = 2, jptim_tra = 3, jptim_lbc = 4, jptim_dia = 5, &
   &                             jptim_rst = 6, jptim_cpl = 7, jptim_asm = 8, jptim_n = 8
   character(len=24), parameter :: cp_name(jptim_n) = [character(len=24) :: 'whole run', 'dynamics', 'tracer', &
   &  'lbc_lnk (with waiting)', 'output and checks', 'restarts', 'coupling (with waiting)', 'analyses (with waiting)']

   real(dp) :: zsum(jptim_n) = 0._dp, zbeg(jptim_n) = 0._dp

contains

   !> Start the clock of a part.
   subroutine timing_start(kpart)
      integer, intent(in) :: kpart
      zbeg(kpart) = MPI_Wtime()
   end subroutine timing_start

   !> Stop the clock of a part.
   subroutine timing_stop(kpart)
      integer, intent(in) :: kpart
      zsum(kpart) = zsum(kpart) + (MPI_Wtime() - zbeg(kpart))
   end subroutine timing_stop

   !> Write the table: seconds per part, minimum, mean and maximum over ranks.
   subroutine timing_finalize(kstep)
      integer, intent(in) :: kstep   !< steps that were made
      real(dp) :: zmin(jptim_n), zmean(jptim_n), zmax(jptim_n)
      integer :: jp, inum

      call mpp_stats(zsum, zmin, zmean, zmax)
      if (.not. lwp) return
      open (newunit=inum, file='timing.output', status='replace', action='write')
      write (inum, '(a,i0,a,i0)') 'ranks ', mppsize, '  steps ', kstep
      write (inum, '(a,t28,4a14)') 'part [s]', 'min', 'mean', 'max', 'ms per step'
      do jp = 1, jptim_n
         write (inum, '(a,t28,3f14.6,f14.6)') trim(cp_name(jp)), zmin(jp), zmean(jp), zmax(jp), &
         &  1.e3_dp*zmean(jp)/real(max(kstep, 1), dp)
      end do
      close (inum)
      write (numout, '(a,f0.3,a,f0.6,a)') ' timing: ', zmax(1), ' s, ', 1.e3_dp*zmax(1)/real(max(kstep, 1), dp), ' ms per step'
   end subroutine timing_finalize
end module timing
